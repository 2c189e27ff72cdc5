# One static binary on a base without a shell, not root. The version is a build argument: --build-arg VERSION=v1.2.3
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/unrole ./cmd/unrole

FROM gcr.io/distroless/static:nonroot
COPY --from=build /out/unrole /usr/local/bin/unrole
COPY --from=build /src/LICENSE /LICENSE
USER nonroot:nonroot
WORKDIR /home/nonroot
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/unrole"]
CMD ["--help"]
