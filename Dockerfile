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
    && install -D -s target/release/chaincast /out/chaincast

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/chaincast /usr/local/bin/chaincast
COPY config /config
EXPOSE 3000
# SIGTERM drains: clients are told to reconnect before the process ends. Health is for the orchestrator to ask
# over HTTP: /healthz (alive), /readyz (ready to serve).
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/chaincast"]
CMD ["serve", "--config", "/config/anvil.toml"]
