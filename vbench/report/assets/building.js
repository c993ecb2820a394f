"use strict";

/* Elements, and the data that Python left in the page. Text is only ever set as text: no name can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** The document that stands in the page under `data-NAME`. */
const carried = (name) => JSON.parse(document.getElementById(`data-${name}`).textContent);

/** The element with its attributes, those that are null left out, and its children, strings as text. */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const html = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

/** A button that does one thing. */
function button(text, action, attributes = {}) {
  const element = html("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", action);
  return element;
}

/** The function, run once the calls have paused for so many milliseconds. */
function paused(action, pauseMs) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, pauseMs);
  };
}
