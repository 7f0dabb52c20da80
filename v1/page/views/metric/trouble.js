// Why there is no chart, and what to do.

import { writeAddress } from "../../app/address.js";
import { make, makeTrouble } from "../../app/elements.js";

/** Return words for an error, with near names where no metric has this one. */
export function explainError(error, metric) {
  const overview = make("a", { href: writeAddress("overview") }, "Go to the overview");
  if (error.status === 404) {
    const near = (error.errors.find(({ field }) => field === "metric")?.accepted ?? "").split(", ").filter((name) => name.includes(":"));
    return makeTrouble(`There is no metric ${metric}: ${error.message}.`, make("p.bar", {},
      near.length ? ["Perhaps: ", near.map((name) => make("a", { href: writeAddress("metric", {}, name) }, name))] : null,
      make("a", { href: writeAddress("overview", { q: metric.split(":").at(-1) }) }, "Search for it"), overview));
  }
  const waits = error.status === 0 || error.status === 429 || error.status >= 500;
  const next = waits ? `It is asked again in ${error.retry} seconds.` : "Change what is asked, or the key.";
  return makeTrouble(`${error.message}. ${next}`, overview);
}

/** Return words for names of an address that are not accepted, or null. */
export function explainRefused(refused) {
  if (!refused.length) return null;
  const words = refused.map(({ name, asked, accepted }) => `${name}: '${asked}' is not accepted here; accepted: ${accepted.join(", ")}`);
  return make("p.warning", {}, `${words.join(". ")}. The usual is shown instead.`);
}
