// Plain socket.io: a session joins rooms, updates are sent by its broadcast.

import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { runCommands, options } from './commands.mjs';

const http = createServer();
const realtime = new Server(http, options).of('/realtime');
realtime.on('connection', (socket) => {
  socket.on('subscribe', ({ channels }, ack) => {
    socket.join(channels);
    ack({ success: true, channels: channels.map((channel) => ({ channel, success: true })) });
  });
});
http.listen(0, '127.0.0.1', () => {
  runCommands(http.address().port, (channel, data) => realtime.to(channel).emit('price-update', data));
});
