// Ready-to-paste code snippets for this server.

import { byId, copyText, h, setText } from './dom.js';

/** The snippets for this origin, with an existing channel. */
function snippets(origin, priceChannel) {
  const socketOrigin = origin.replace(/^http/, 'ws');
  return [
    { title: 'Server-sent events', note: 'nothing to install', code: `curl -N '${origin}/realtime/sse?channels=new-block,${priceChannel}'` },
    {
      title: 'WebSocket',
      note: 'any language',
      code: `const socket = new WebSocket('${socketOrigin}/realtime');
socket.onopen = () => socket.send(JSON.stringify(
  { id: 1, event: 'subscribe', data: { channel: '${priceChannel}' } }));
socket.onmessage = ({ data }) => console.log(data);`,
    },
    {
      title: 'Socket.IO',
      note: 'npm install socket.io-client',
      code: `import { io } from 'socket.io-client';
const socket = io('${origin}/realtime');
socket.emit('subscribe', { channel: '${priceChannel}' }, console.log);
socket.on('price-update', console.log);
socket.on('new-block', console.log);`,
    },
    {
      title: 'History, then live',
      note: 'no gap, no duplicate',
      code: `curl '${origin}/api/v1/channels/new-block/updates?since=0&limit=100'
# then subscribe with the last seq you read:
# {"event":"subscribe","data":{"channel":"new-block","since":100}}`,
    },
  ];
}

/** Fills the section; called again once a tracked token is known. */
export function showSnippets(priceChannel = 'price:ETH') {
  byId('snippets').replaceChildren(...snippets(location.origin, priceChannel).map(figure));
}

function figure({ title, note, code }) {
  const button = h('button', { type: 'button', class: 'copy', 'aria-label': `Copy the ${title} example` }, 'Copy');
  button.addEventListener('click', async () => {
    setText(button, (await copyText(code)) ? 'Copied' : 'Not allowed');
    setTimeout(() => setText(button, 'Copy'), 1500);
  });
  return h('figure', { class: 'snippet' }, h('figcaption', {}, h('strong', {}, title), h('span', { class: 'hint' }, note), button), h('pre', { tabindex: '0' }, h('code', {}, code)));
}
