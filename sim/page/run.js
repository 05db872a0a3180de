'use strict';
// What happened, as the program wrote it down (PageData in sim/page.cc), and what follows from it.

const run = JSON.parse(document.getElementById('run').textContent);

const replicaFields = ['role', 'term', 'vote', 'leader', 'base', 'baseTerm', 'applied', 'applying',
  'committed', 'durable', 'submitted', 'last', 'firstResident', 'runs'];
const cursorNames = ['base', 'applied', 'applying', 'committed', 'durable', 'submitted', 'last'];
const roleNames = ['follower', 'pre-candidate', 'candidate', 'leader'];
const leads = 3;

// An array of states.js' order as an object; null for a replica that is not up.
const states = run.states.map((array) => array.length === 0 ? null :
  Object.fromEntries(replicaFields.map((name, i) => [name, array[i]])));
const steps = run.steps.map(([at, kind, node, group, text, state], number) =>
  ({number, at, kind, node, group, text, state, sent: [], received: []}));
const messages = run.messages.map(([group, from, to, type, text, sent, received]) =>
  ({group, from, to, type, text, sent, received}));
for (const message of messages) {
  steps[message.sent].sent.push(message);
  if (message.received >= 0) steps[message.received].received.push(message);
}
const bands = run.bands.map(([node, kind, text, begin, end]) => ({node, kind, text, begin, end}));

// Of one group: who was how after each step.
class Group {
  constructor(id) {
    this.id = id;
    this.before = run.nodes.map(() => null);
    for (const [group, node, state] of run.before) {
      if (group === id) this.before[node] = states[state];
    }
    // By node: the steps after which it was another, and what it was then.
    this.changes = run.nodes.map(() => []);
    this.steps = steps.filter((step) => step.group === 0 || step.group === id);
    for (const step of this.steps) {
      if (step.kind === 'down') this.changes[step.node].push({step: step.number, state: null});
      if (step.state >= 0) {
        this.changes[step.node].push({step: step.number, state: states[step.state]});
      }
    }
    this.marks = new Set(this.steps.filter((step) => this.isMark(step)).map((step) => step.number));
  }

  // How the node was after the step; null while it is down.
  stateAt(node, step) {
    const changes = this.changes[node];
    let low = 0, high = changes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (changes[middle].step <= step) low = middle + 1; else high = middle;
    }
    return low === 0 ? this.before[node] : changes[low - 1].state;
  }

  // Worth stopping at: what the world did, and who came to lead or tried to.
  isMark(step) {
    if (step.kind !== 'input') return true;
    const was = this.stateAt(step.node, step.number - 1), is = states[step.state];
    return was !== null && is !== null && (is.role !== was.role || is.term !== was.term);
  }

  // Nothing but heartbeats that came and went.
  isBeat(step) {
    if (step.kind !== 'input' || this.marks.has(step.number)) return false;
    const all = [...step.sent, ...step.received];
    return all.length > 0 && all.every((message) => message.type.startsWith('Heartbeat')) &&
      this.stateAt(step.node, step.number - 1) === states[step.state];
  }
}

const groups = run.groups.map((id) => new Group(id));

// The term of the entry at an index, as far as it is known; 0 if it is not.
function termAt(state, index) {
  if (index === state.base) return state.baseTerm;
  let term = 0;
  for (let i = 0; i < state.runs.length; i += 2) {
    if (state.runs[i] <= index) term = state.runs[i + 1];
  }
  return term;
}

// Terms that follow each other look different.
const hueOf = (term) => Math.round((term * 137.5 + 70) % 360);
const showTime = (at) => (at / 1e6).toFixed(6) + ' s';
const nameOf = (node) => node < 0 ? '' : run.nodes[node];
