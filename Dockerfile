# One image for every role; ROLES says which one a container plays.
FROM node:24-bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
# The native writer is kept below node_modules by what it was made of (source, Node's ABI, processor), which is the same in the
# image that runs: there is no compiler there.
RUN npm run build:console && npm prune --omit=dev --ignore-scripts && node src/platform/native-writer/build.ts

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY --from=build --chown=node:node /app /app
USER node
EXPOSE 3000 9464
# Ready means: it may take clients. A gateway without its venues yet is alive, not ready.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["node", "-e", "fetch('http://127.0.0.1:9464/ready').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Not npm: signals must reach the server itself.
CMD ["node", "src/main.ts"]
