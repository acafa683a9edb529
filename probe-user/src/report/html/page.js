'use strict';
// Tables that sort and filter. Without this script everything is there, in the order that the page was made with.
for (const table of document.querySelectorAll('table[data-sort]')) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const numberOf = (row, at) => {
    const cell = row.cells[at];
    return parseFloat(cell.dataset.v ?? cell.textContent);
  };
  const sort = (head, at) => {
    const isNumber = head.classList.contains('n');
    const before = head.getAttribute('aria-sort');
    const descending = before ? before === 'ascending' : isNumber;
    heads.forEach((other) => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
    const compare = (one, other) => isNumber
      ? numberOf(one, at) - numberOf(other, at)
      : one.cells[at].textContent.localeCompare(other.cells[at].textContent, 'en', { numeric: true });
    const isRest = (row) => row.classList.contains('rest') ? 1 : 0;
    const rows = [...body.rows];
    rows.sort((one, other) => isRest(one) - isRest(other) || (descending ? -compare(one, other) : compare(one, other)));
    body.append(...rows);
  };
  heads.forEach((head, at) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    button.addEventListener('click', () => sort(head, at));
    head.append(button);
  });
  if (table.hasAttribute('data-filter')) {
    const label = document.createElement('label');
    const input = document.createElement('input');
    const told = document.createElement('span');
    label.className = 'filter';
    input.type = 'search';
    told.setAttribute('role', 'status');
    label.append('Only rows with', input, told);
    input.addEventListener('input', () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = [...body.rows];
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
      }
      const shown = rows.filter((row) => !row.hidden).length;
      told.textContent = wanted.length ? `${shown} of ${rows.length} rows` : '';
    });
    table.parentElement.before(label);
  }
}
// A link into something folded opens it; a row that the filter hides is shown.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  target.hidden = false;
  for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
};
addEventListener('hashchange', reveal);
reveal();
// Paper cannot be unfolded.
let opened = [];
addEventListener('beforeprint', () => {
  opened = [...document.querySelectorAll('details:not([open]):not(.numbers)')];
  opened.forEach((one) => { one.open = true; });
});
addEventListener('afterprint', () => opened.forEach((one) => { one.open = false; }));
