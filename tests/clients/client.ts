// What somebody writes who has made types of the document: checked by the compiler, and run by nobody.
import createClient from "openapi-fetch";
import type { components, paths, webhooks } from "./api";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8000" });

export async function prices(metric: string): Promise<(number | null)[][]> {
  const { data, error } = await client.GET("/v1/metrics/{metric}/history", {
    params: { path: { metric }, query: { from: "-1h", measure: "price" } },
  });
  if (error) throw new Error(error.errors.map((wrong) => wrong.accepted).join());
  return data.points;
}

export async function table(metric: string): Promise<string | undefined> {
  const { data } = await client.GET("/v1/metrics/{metric}/history.csv", {
    params: { path: { metric }, query: { time: "iso", bom: true } },
    parseAs: "text",
  });
  return data;
}

export async function rules(): Promise<(number | null)[]> {
  const rule: components["schemas"]["NewThresholdAboveRule"] = { id: "high", kind: "threshold", above: 1 };
  const { data: made } = await client.POST("/v1/rules", { body: rule });
  const first: string | undefined = made?.origin;
  const { data } = await client.GET("/v1/rules");
  // The kind tells which fields there are.
  return (data?.rules ?? []).map((each) => (each.kind === "ratio" ? each.factor : first ? 1 : null));
}

export async function tried(): Promise<string[]> {
  const { data } = await client.POST("/v1/rules/backtest", {
    body: { rules: [{ id: "jump", kind: "change", percent: 5 }], sweep: false, limit: 10 },
  });
  return data?.messages.map((message) => message.title) ?? [];
}

export function received(
  message: webhooks["message"]["post"]["requestBody"]["content"]["application/json"],
): number | null | undefined {
  return message.alert?.value;
}
