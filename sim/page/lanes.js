// The picture of a stretch of the run: a lane a node, messages as arrows; and of all of it, small.

const svgSpace = 'http://www.w3.org/2000/svg';
function shape(name, attributes, text) {
  const element = document.createElementNS(svgSpace, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function classOf(type) {
  const reply = type.endsWith('Reply') ? ' reply' : '';
  if (type.startsWith('Append')) return 'append' + reply;
  if (type.startsWith('Heartbeat')) return 'beat' + reply;
  if (type.startsWith('Snapshot')) return 'snapshot';
  if (type.startsWith('ReadIndex')) return 'read' + reply;
  return 'vote' + reply;
}

const laneHeight = 74, laneTop = 34, nameWidth = 62;
const laneY = (node) => laneTop + node * laneHeight + laneHeight / 2;

// Draws the events of `view` ({group, order, at, span, byTime}) around the current one.
class Lanes {
  constructor(svg, onPick) {
    this.svg = svg;
    this.onPick = onPick;
  }

  draw(view) {
    const width = this.svg.clientWidth || 900;
    const height = laneTop + run.nodes.length * laneHeight + 24;
    this.view = view;
    this.width = width;
    const {order, at, span} = view;
    const first = Math.max(0, Math.min(at - Math.floor(span * 0.6), order.length - span));
    const last = Math.min(order.length - 1, first + span - 1);
    Object.assign(this, {first, last});
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.svg.style.height = height + 'px';
    this.svg.replaceChildren();
    if (order.length === 0) return;
    this.from = order[first].number;
    this.to = last + 1 < order.length ? order[last + 1].number : steps.length;
    this.drawRuler();
    this.drawBands();
    run.nodes.forEach((name, node) => this.drawLane(name, node));
    this.drawMessages();
    this.drawDots();
  }

  add(name, attributes, text) {
    return this.svg.appendChild(shape(name, attributes, text));
  }

  // Where the event at a position of the order is.
  x(position) {
    const room = this.width - nameWidth - 24;
    const {order, byTime} = this.view;
    if (!byTime) {
      const count = Math.max(1, Math.min(this.view.span, order.length) - 1);
      return nameWidth + 12 + room * (position - this.first) / count;
    }
    const begin = order[this.first].at, end = Math.max(order[this.last].at, begin + 1);
    const at = order[Math.max(0, Math.min(position, order.length - 1))].at;
    return nameWidth + 12 + room * (at - begin) / (end - begin);
  }

  // Where a step is, or the first one shown after it.
  xOfStep(number) {
    return this.x(positionOf(this.view.order, number));
  }

  clamp(x) {
    return Math.max(nameWidth, Math.min(this.width, x));
  }

  drawRuler() {
    const {order, at} = this.view;
    const x = this.x(at);
    this.add('line', {class: 'cursor', x1: x, x2: x, y1: 4, y2: this.svg.viewBox.baseVal.height - 20});
    if (!run.clock) return;
    const y = this.svg.viewBox.baseVal.height - 7;
    this.add('text', {class: 'faint', x: nameWidth + 6, y}, showTime(order[this.first].at));
    this.add('text', {class: 'faint', x: this.width - 6, y, 'text-anchor': 'end'},
      showTime(order[this.last].at));
  }

  drawBands() {
    const used = [];
    for (const band of bands) {
      if (band.end <= this.from || band.begin >= this.to) continue;
      const x = this.clamp(this.xOfStep(band.begin)), end = this.clamp(this.xOfStep(band.end));
      const all = band.node < 0;
      const y = all ? 18 : laneTop + band.node * laneHeight + 6;
      const box = {class: band.kind, x, y, width: Math.max(2, end - x),
        height: all ? run.nodes.length * laneHeight + 14 : laneHeight - 10, rx: 3};
      this.add('rect', box).append(shape('title', {}, band.text));
      const row = used.filter((other) => other.node === band.node && other.end > x).length;
      if (band.kind === 'fault' && row < 2) {
        this.add('text', {class: 'fault-name', x: x + 4, y: y + 11 + row * 12}, band.text);
        used.push({node: band.node, end: x + 4 + band.text.length * 6});
      }
    }
  }

  drawLane(name, node) {
    const y = laneY(node);
    const {group} = this.view;
    this.add('line', {class: 'rail', x1: nameWidth, x2: this.width, y1: y, y2: y});
    this.add('text', {class: 'lane', 'data-node': node, x: 10, y: y + 4, 'font-weight': 600}, name);
    const changes = group.changes[node].filter(
      (change) => change.step > this.from && change.step < this.to);
    let x = nameWidth, state = group.stateAt(node, this.from), shown = null;
    for (const change of [...changes, {step: this.to, state: undefined}]) {
      const same = change.state && state && change.state.role === state.role &&
        change.state.term === state.term;
      if (same) continue;
      const end = change.state === undefined ? this.width : this.clamp(this.xOfStep(change.step));
      if (state !== null) this.drawRole(node, state, x, end, shown);
      shown = state;
      state = change.state;
      x = end;
    }
  }

  drawRole(node, state, x, end, before) {
    const y = laneY(node), style = `--h:${hueOf(state.term)}`;
    if (state.role === leads) {
      this.add('rect', {class: 'leader', style, x, y: y - 4, width: Math.max(1, end - x), height: 8, rx: 3});
    } else if (state.role !== 0) {
      this.add('rect', {class: 'candidate', style, x, y: y - 4, width: Math.max(1, end - x), height: 8});
    }
    if (before !== null && before.term === state.term && state.role !== leads) return;
    const words = (state.role === leads ? 'leads ' : '') + 'term ' + state.term;
    if (end - x > words.length * 6) this.add('text', {class: 'faint', x: x + 3, y: y + 18}, words);
  }

  drawMessages() {
    const {group, order, at, beats} = this.view;
    const current = order[at].number;
    const seen = new Set();
    const mine = [];
    for (let i = this.first; i <= this.last; ++i) {
      for (const message of [...order[i].sent, ...order[i].received]) {
        if (seen.has(message) || message.group !== group.id) continue;
        seen.add(message);
        const isMine = message.sent === current || message.received === current;
        if (isMine) {
          mine.push(message);
        } else if (beats || !message.type.startsWith('Heartbeat')) {
          this.drawMessage(message, false);
        }
      }
    }
    for (const message of mine) this.drawMessage(message, true);
  }

  drawMessage(message, isMine) {
    if (message.to < 0 || message.from < 0) return;
    const y1 = laneY(message.from), y2 = laneY(message.to);
    const x1 = this.xOfStep(message.sent);
    const isLost = message.received < 0;
    const x2 = isLost ? x1 + 16 : this.xOfStep(message.received);
    const ends = isLost ? y1 + Math.sign(y2 - y1) * 20 : y2 - Math.sign(y2 - y1) * 5;
    const kind = classOf(message.type) + (isMine ? ' mine' : '');
    const line = this.add('path', {class: 'message ' + kind, d: `M${x1} ${y1} L${x2} ${ends}`});
    line.append(shape('title', {}, message.text));
    if (isLost) {
      this.add('path', {class: 'lost', d: `M${x2 - 3} ${ends - 3} l6 6 m0 -6 l-6 6`});
      return;
    }
    const angle = Math.atan2(ends - y1, x2 - x1), size = isMine ? 9 : 6;
    const tip = (turn) => `${x2 - size * Math.cos(angle + turn)} ${ends - size * Math.sin(angle + turn)}`;
    this.add('path', {class: 'message ' + kind.replace('reply', ''),
      d: `M${tip(0.4)} L${x2} ${ends} L${tip(-0.4)}`});
  }

  drawDots() {
    const {order, at, group} = this.view;
    for (let i = this.first; i <= this.last; ++i) {
      const step = order[i], x = this.x(i);
      const kind = step.kind === 'verdict' ? ' verdict' : group.marks.has(step.number) ? ' mark' : '';
      const y = step.node < 0 ? 9 : laneY(step.node);
      this.add('circle', {class: 'dot' + kind, cx: x, cy: y, r: i === at ? 5 : kind ? 3.5 : 2});
    }
    const hit = this.add('rect', {class: 'hit', x: nameWidth, y: 0, width: this.width, height: '100%'});
    hit.addEventListener('click', (event) => this.pick(event));
  }

  // The event that is nearest to where somebody clicked.
  pick(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    let best = this.first;
    for (let i = this.first; i <= this.last; ++i) {
      if (Math.abs(this.x(i) - x) < Math.abs(this.x(best) - x)) best = i;
    }
    this.onPick(best);
  }
}

// The position of the first event at or after the step.
function positionOf(order, number) {
  let low = 0, high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order[middle].number < number) low = middle + 1; else high = middle;
  }
  return low;
}

// All events in one strip: who leads, what is down, where faults are, and what the picture shows.
function drawOverview(canvas, view, lanes) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = 56;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const paint = canvas.getContext('2d');
  paint.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const {order, group, at} = view;
  const x = (position) => width * position / Math.max(1, order.length);
  const row = height / run.nodes.length;
  const fill = (kind, from, to, y, tall, alpha) => {
    paint.globalAlpha = alpha;
    paint.fillStyle = kind;
    paint.fillRect(x(from), y, Math.max(1, x(to) - x(from)), tall);
    paint.globalAlpha = 1;
  };
  for (const band of bands) {
    const y = band.node < 0 ? 0 : band.node * row, tall = band.node < 0 ? height : row;
    fill(color(band.kind === 'down' ? '--down' : '--fault'), positionOf(order, band.begin),
      positionOf(order, band.end), y, tall, 0.22);
  }
  run.nodes.forEach((name, node) => {
    let begin = 0, state = group.before[node];
    for (const change of [...group.changes[node], {step: steps.length, state: null}]) {
      const isSame = state && change.state && change.state.role === state.role && change.state.term === state.term;
      if (isSame) continue;
      const position = positionOf(order, change.step);
      if (state && state.role === leads) {
        fill(`hsl(${hueOf(state.term)} 60% 52%)`, begin, position, node * row + row / 2 - 3, 6, 1);
      }
      begin = position;
      state = change.state;
    }
  });
  fill(color('--accent'), lanes.first, lanes.last + 1, 0, height, 0.14);
  fill(color('--accent'), at, at, 0, height, 1);
}
