// A NestJS gateway on its socket.io adapter. Decorators are applied by hand, to avoid a build step.

import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import { runCommands, options } from './commands.mjs';

class RealtimeGateway {
  subscribe({ channels }, socket) {
    socket.join(channels);
    return { success: true, channels: channels.map((channel) => ({ channel, success: true })) };
  }
}
WebSocketGateway({ namespace: '/realtime', ...options })(RealtimeGateway);
WebSocketServer()(RealtimeGateway.prototype, 'server');
MessageBody()(RealtimeGateway.prototype, 'subscribe', 0);
ConnectedSocket()(RealtimeGateway.prototype, 'subscribe', 1);
const subscribe = Object.getOwnPropertyDescriptor(RealtimeGateway.prototype, 'subscribe');
SubscribeMessage('subscribe')(RealtimeGateway.prototype, 'subscribe', subscribe);

class AppModule {}
Module({ providers: [RealtimeGateway] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: ['error'] });
app.useWebSocketAdapter(new IoAdapter(app));
await app.listen(0, '127.0.0.1');
const gateway = app.get(RealtimeGateway);
runCommands(app.getHttpServer().address().port, (channel, data) => gateway.server.to(channel).emit('price-update', data));
