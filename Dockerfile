# syntax=docker/dockerfile:1
# The binary alone on a base without a shell, as an unprivileged user. It serves one port and needs a config file:
#   docker build -t chaincast .
#   docker run -p 3000:3000 -v ./my.toml:/my.toml:ro -e DATABASE_URL=postgres://… chaincast serve --config /my.toml
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin chaincast \
    && install -D -s target/release/chaincast /out/chaincast \
    && install -d /out/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/chaincast /usr/local/bin/chaincast
COPY config /config
# What `chaincast dev --data-dir /data` keeps; a new volume there belongs to the same user.
COPY --from=build --chown=nonroot:nonroot /out/data /data
EXPOSE 3000
# SIGTERM drains: clients are asked to reconnect before the process ends. An orchestrator asks over HTTP: /healthz (alive),
# /readyz (ready to serve).
STOPSIGNAL SIGTERM
# Whether the process is alive: what is unhealthy may be replaced, which helps against no outage of a provider. It asks at
# PORT, or at CHAINCAST__SERVER__PORT; a port that only the file or --port sets needs a HEALTHCHECK of its own (health --url).
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/local/bin/chaincast", "health", "--alive"]
ENTRYPOINT ["/usr/local/bin/chaincast"]
CMD ["serve", "--config", "/config/anvil.toml"]
