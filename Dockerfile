# The product alone: holdfast web and holdfast worker. Postgres and Temporal come from docker-compose.yml or elsewhere.

# Each may be given with a digest, so that a build is the same tomorrow: --build-arg GO_IMAGE=golang:1.26-bookworm@sha256:…
ARG NODE_IMAGE=node:22-bookworm-slim
ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS ui
WORKDIR /src/web/ui
COPY clients/typescript/ /src/clients/typescript/
COPY web/ui/package.json web/ui/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web/ui/ ./
RUN npm run build

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=ui /src/web/ui/dist web/ui/dist
# .git is not in the build: HOLDFAST_VERSION="$(git describe --tags --always --dirty)" docker compose build
ARG VERSION=dev
# With the drivers of S3, GCS and Azure: workers on several machines need a store that all of them reach.
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -tags clouds \
    -ldflags "-s -w -X github.com/holdfast/holdfast/cmd/holdfast/cli.buildVersion=${VERSION}" \
    -o /out/holdfast ./cmd/holdfast \
    && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w" -o /out/holdfast-supervisor ./cmd/holdfast-supervisor

# What steps may run: a shell, python3 and the usual tools. Build on this image to give them more.
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl procps python3 tini tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/holdfast holdfast \
    && install -d -o holdfast -m 0700 /srv/holdfast
COPY --from=build /out/holdfast /out/holdfast-supervisor /usr/local/bin/
USER holdfast
ENV HOLDFAST_DATA_DIR=/var/lib/holdfast
VOLUME /var/lib/holdfast
EXPOSE 8000
ENTRYPOINT ["tini", "--", "holdfast"]
CMD ["web"]
