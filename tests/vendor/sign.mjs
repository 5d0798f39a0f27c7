// Signs requests with the vendor's SDK: a JSON list of requests on stdin, a list of Authorization
// values on stdout. Runs in the folder into which the SDK was installed.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const { AKSKSigner } = require("@huaweicloud/huaweicloud-sdk-core/auth/AKSKSigner");

const requests = JSON.parse(readFileSync(0, "utf8"));
const answers = requests.map((r) => {
  const signed = AKSKSigner.sign(
    {
      method: r.method,
      endpoint: r.endpoint,
      queryParams: r.query,
      headers: { ...r.headers, "X-Sdk-Date": r.date },
      data: r.data ?? undefined,
    },
    { getAk: () => r.access_key, getSk: () => r.secret_key },
  );
  return signed.Authorization;
});
process.stdout.write(JSON.stringify(answers));
