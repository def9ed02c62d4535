//! Messages between clients, on real gateways: over every transport, from backends, and when things break.

mod client;
mod echo;
mod moderation;
mod processes;
mod publish;
mod repeated;
mod rest;
mod transports;
mod users;

use client::{ROOMS, Rights, RoomClient};
