// Reads requests as receivers would: a JSON list of {headers, body (base64), secret} on stdin, a list of
// {verified, events} or {error} on stdout. Runs in the folder into which the packages were installed.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const { Webhook } = require("standardwebhooks");
const { HTTP, CloudEvent } = require("cloudevents");

const answers = JSON.parse(readFileSync(0, "utf8")).map(({ headers, body, secret }) => {
  const text = Buffer.from(body, "base64").toString("utf8");
  try {
    const verified = secret === null ? null : new Webhook(secret).verify(text, headers);
    const read = HTTP.toEvent({ headers, body: text });
    const events = (Array.isArray(read) ? read : [read]).map((one) => {
      new CloudEvent(one).validate();
      return one;
    });
    return { verified, events };
  } catch (error) {
    return { error: String(error) };
  }
});
process.stdout.write(JSON.stringify(answers));
