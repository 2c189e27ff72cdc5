import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [baseUrl, token] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
const sent = await client.POST("/v1/removals", {
  body: { job_id: "made", source: "hr", reason: "left", removals: [{ user_ids: ["ann"], role_ids: [7, "9007199254740993"] }] },
});
if (sent.error) throw new Error(JSON.stringify(sent.error));
const { data } = await client.GET("/v1/removals/{job_id}", { params: { path: { job_id: "made" } } });
const job: components["schemas"]["Job"] | undefined = data;
const finished: string | null | undefined = job?.finished_at;
console.log(job?.job_id, job?.pairs.total, finished === null);
