/* The page begins here. */

const allCells = new Cells(carried("cells"), carried("samples"), carried("environments"));
for (const table of carried("tables")) new BrowsedTable(document.getElementById(table.name), table, allCells);
if (document.getElementById("explorer")) new Explorer(document.getElementById("explorer"), carried("settings"), allCells);
new Panel(document.getElementById("panel"), allCells);
