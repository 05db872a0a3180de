// What stands around the picture: log tails, the list of events, keys.

const byId = (id) => document.getElementById(id);
function node(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// --- The log tails of all nodes at one step, side by side by index.

const tailWidth = 18;

// The name, its value, and whether the step moved it.
function cursorsOf(state, before) {
  return cursorNames.map((name) => [name, state[name], before !== null && before[name] !== state[name]]);
}

// `isNamed`: not in the column of its index.
function cellOf(state, index, isNamed) {
  const term = index > state.base && index <= state.last ? termAt(state, index) : 0;
  const cell = node('span', {class: 'cell'});
  if (term > 0) {
    cell.className += ' entry' + (index > state.durable ? ' volatile' : '') +
      (index < state.firstResident ? ' evicted' : '');
    cell.style.setProperty('--h', hueOf(term));
    cell.textContent = (isNamed ? index : '') + '@' + term;
    cell.title = `entry ${index} of term ${term}` + (index > state.durable ? ', not durable' : '') +
      (index < state.firstResident ? ', evicted from memory' : '');
  } else if (index <= state.base && index > 0) {
    cell.className += ' base';
    cell.textContent = index === state.base ? 'base' : '';
  }
  return cell;
}

function barsOf(state, index) {
  if (index > state.last) return [];
  const bar = (kind, is) => node('span', {class: 'bar ' + (is ? kind : 'none')});
  const applied = index <= state.applied ? 'applied' : 'handed';
  return [bar('durable', index <= state.durable), bar('committed', index <= state.committed),
    bar(applied, index <= state.applying)];
}

function drawTail(index, view, low, high) {
  const step = view.order[view.at];
  const state = view.group.stateAt(index, step.number);
  const acts = step.node === index;
  const row = node('tr', {class: 'node' + (acts ? ' acts' : '') + (state ? '' : ' is-down'), 'data-node': index});
  const who = node('td', {class: 'who'}, node('b', {}, run.nodes[index]));
  row.append(who);
  if (state === null) {
    who.append(node('span', {class: 'role'}, 'down'));
    return [row];
  }
  const vote = state.vote < 0 ? '' : ', vote ' + nameOf(state.vote);
  who.append(node('span', {class: 'role'}, `${roleNames[state.role]}, term ${state.term}${vote}`));
  // One that is far behind shows its own end.
  const isElsewhere = state.last < low;
  if (isElsewhere) [low, high] = [Math.max(1, state.last - tailWidth + 1), state.last];
  for (let i = low; i <= high; ++i) {
    row.append(node('td', {}, cellOf(state, i, isElsewhere), ...barsOf(state, i)));
  }
  const before = acts ? view.group.stateAt(index, step.number - 1) : state;
  const cursors = cursorsOf(state, before).map(([name, value, moved]) =>
    node('span', {class: name[0] + (moved ? ' moved' : '')}, name + ' ',
      node('b', {'data-cursor': name}, String(value))));
  const line = node('td', {class: 'cursors', colspan: tailWidth}, ...cursors);
  return [row, node('tr', {'data-cursors-of': index}, node('td', {}), line)];
}

function drawTails(view) {
  const number = view.order[view.at].number;
  const lasts = run.nodes.map((_, i) => view.group.stateAt(i, number)).filter((s) => s).map((s) => s.last);
  const high = Math.max(1, ...lasts), low = Math.max(1, high - tailWidth + 1);
  const head = node('tr', {}, node('th', {}));
  for (let i = low; i <= high; ++i) head.append(node('th', {}, String(i)));
  const table = node('table', {}, head);
  run.nodes.forEach((_, i) => table.append(...drawTail(i, view, low, high)));
  byId('tails').replaceChildren(table);
}

// --- What happens at the step, in words.

function drawNow(view) {
  const step = view.order[view.at];
  const line = byId('now');
  line.className = step.kind;
  line.replaceChildren(node('b', {}, nameOf(step.node)), step.text);
  for (const message of step.sent) {
    const fate = message.received < 0 ? ' (does not arrive here)' : '';
    line.append(node('span', {class: 'sent'}, `sends ${nameOf(message.to)}: ${message.text}${fate}`));
  }
  byId('where').textContent = `event ${view.at + 1} of ${view.order.length}` +
    (run.clock ? ' at ' + showTime(step.at) : '');
}

const listed = 60;  // Events before and after the current one.
function drawEvents(view) {
  const items = [];
  const last = Math.min(view.order.length - 1, view.at + listed);
  for (let i = Math.max(0, view.at - listed); i <= last; ++i) {
    const step = view.order[i];
    const item = node('li', {class: step.kind + (i === view.at ? ' current' : ''), 'data-position': i});
    if (run.clock) item.append(node('time', {}, (step.at / 1e6).toFixed(4)));
    if (step.node >= 0) item.append(node('b', {}, nameOf(step.node) + ' '));
    item.append(step.text);
    items.push(item);
  }
  const list = byId('events');
  list.replaceChildren(...items);
  const current = list.querySelector('.current');
  if (current) list.scrollTop = current.offsetTop - list.offsetTop - list.clientHeight / 2;
}

// --- Where we are, and how to get elsewhere.

const view = {group: groups[groups.length - 1], order: [], at: 0, span: 60, byTime: false, beats: false};
const lanes = new Lanes(byId('lanes'), (position) => go(position));

function draw() {
  if (view.order.length === 0) return;
  document.body.dataset.step = view.order[view.at].number;
  byId('scrubber').max = view.order.length - 1;
  byId('scrubber').value = view.at;
  lanes.draw(view);
  drawOverview(byId('overview'), view, lanes);
  drawNow(view);
  drawTails(view);
  drawEvents(view);
}

function go(position) {
  view.at = Math.max(0, Math.min(position, view.order.length - 1));
  draw();
}

function goToMark(direction) {
  let position = view.at + direction;
  while (view.order[position] && !view.group.marks.has(view.order[position].number)) position += direction;
  if (view.order[position]) go(position);
}

// Which events there are, as the controls say; stays as near to the current one as can be.
function choose() {
  const number = view.order.length > 0 ? view.order[view.at].number : -1;
  view.group = groups[byId('group').selectedIndex];
  view.beats = byId('beats').checked;
  view.byTime = byId('clock').checked;
  view.order = view.group.steps.filter((step) => view.beats || !view.group.isBeat(step));
  go(positionOf(view.order, number));
}

function zoom(factor) {
  view.span = Math.round(Math.max(10, Math.min(view.span * factor, 480)));
  draw();
}

function toggle(id) {
  byId(id).checked = !byId(id).checked;
  choose();
}

function nextGroup() {
  const list = byId('group');
  list.selectedIndex = (list.selectedIndex + 1) % groups.length;
  choose();
}

const actions = {
  first: () => go(0), last: () => go(view.order.length - 1),
  back: () => go(view.at - 1), on: () => go(view.at + 1),
  'mark-back': () => goToMark(-1), 'mark-on': () => goToMark(1),
  'zoom-out': () => zoom(1.5), 'zoom-in': () => zoom(1 / 1.5),
};
const keys = {
  ArrowLeft: actions.back, ArrowRight: actions.on, ArrowUp: actions['mark-back'], p: actions['mark-back'],
  ArrowDown: actions['mark-on'], n: actions['mark-on'], Home: actions.first, End: actions.last,
  '-': actions['zoom-out'], '+': actions['zoom-in'], h: () => toggle('beats'),
  t: () => { if (run.clock) toggle('clock'); }, g: nextGroup,
};

function listen() {
  for (const [id, action] of Object.entries(actions)) byId(id).addEventListener('click', action);
  for (const id of ['group', 'beats', 'clock']) {
    byId(id).addEventListener('change', () => { choose(); byId(id).blur(); });
  }
  byId('scrubber').addEventListener('input', () => go(Number(byId('scrubber').value)));
  byId('overview').addEventListener('click', (event) => {
    go(Math.floor(view.order.length * event.offsetX / byId('overview').clientWidth));
  });
  byId('events').addEventListener('click', (event) => {
    const item = event.target.closest('li');
    if (item) go(Number(item.dataset.position));
  });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  window.addEventListener('resize', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}

// --- What is said once.

function drawLegend() {
  const arrow = (kind) => {
    const picture = shape('svg', {viewBox: '0 0 34 12'});
    picture.append(shape('path', {class: 'message mine ' + kind, d: 'M1 6 H32 M27 2 L32 6 L27 10'}));
    return picture;
  };
  const cell = (kind, text) => {
    const element = node('span', {class: 'cell ' + kind}, text);
    element.style.setProperty('--h', hueOf(1));
    return element;
  };
  const item = (picture, text) => node('span', {}, picture, text);
  const key = (names, text) => node('span', {}, ...names.map((name) => node('kbd', {}, name)), text);
  byId('legend-items').append(
    item(cell('entry', '@1'), 'an entry, coloured by its term'),
    item(cell('entry volatile', '@1'), 'not on this disk yet'),
    item(cell('entry evicted', '@1'), 'on disk, no longer in memory'),
    item(node('span', {class: 'bar durable'}), 'durable'),
    item(node('span', {class: 'bar committed'}), 'committed'),
    item(node('span', {class: 'bar applied'}), 'applied'),
    item(node('span', {class: 'bar handed'}), 'handed out to apply'),
    item(arrow('append'), 'append'), item(arrow('append reply'), 'its reply'), item(arrow('vote'), 'vote'),
    item(arrow('snapshot'), 'snapshot'), item(arrow('read'), 'read'), item(arrow('beat'), 'heartbeat'),
    key(['\u2190', '\u2192'], 'by event'), key(['\u2191', '\u2193', 'p', 'n'], 'by fault, start or election'),
    key(['Home', 'End'], 'first and last'), key(['+', '-'], 'show less or more'), key(['g'], 'next group'),
    key(['h'], 'heartbeats'), key(['t'], 'by time'));
}

function begin() {
  byId('title').textContent = run.title;
  const failed = run.violations.length > 0;
  byId('verdict').textContent = failed ? 'FAILED' : 'passed';
  byId('verdict').className = failed ? 'failed' : 'passed';
  const dropped = run.dropped > 0 ? ` ${run.dropped} earlier events of it were too many and are left out.` : '';
  byId('window').append(run.window + dropped + ' ', node('code', {}, run.repeat));
  for (const what of run.violations) byId('violations').append(node('li', {}, what));
  for (const group of run.groups) byId('group').append(node('option', {}, String(group)));
  byId('group').selectedIndex = groups.length - 1;
  byId('clock-label').hidden = !run.clock;
  drawLegend();
  listen();
  choose();
  go(failed ? view.order.length - 1 : 0);
}

begin();
