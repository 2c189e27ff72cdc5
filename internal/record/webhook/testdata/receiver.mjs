// A receiver as its author would write it with one of the public libraries: node receiver.mjs LIBRARY SECRET. It prints the
// address it listens at, then a line for each message.
import { createServer } from "node:http";

const [library, secret] = process.argv.slice(2);
const { Webhook } = await import(library);
const webhook = new Webhook(secret);

const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  try {
    webhook.verify(body, request.headers);
    const forged = body.replace("completed", "cancelled");
    try {
      webhook.verify(forged, request.headers);
      console.log("a forged message is taken");
    } catch {
      const { type, data } = JSON.parse(body);
      console.log(`${type} ${data.job_id} ${data.state}`);
    }
    response.writeHead(204).end();
  } catch (error) {
    console.log(`refused: ${error.message}`);
    response.writeHead(400).end();
  }
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
