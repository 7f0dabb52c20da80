// Starts the page: what is told on every view, and the view that the address names.

import { startBanner } from "./app/banner.js";
import { startCaller } from "./app/caller.js";
import { startDownloads } from "./app/downloads.js";
import { startHealth } from "./app/health.js";
import { startHelp } from "./app/help.js";
import { startLive } from "./app/live.js";
import { startNavigation } from "./app/navigation.js";
import { applyPreferences } from "./app/preferences.js";
import { startSignals } from "./app/signals.js";
import { startSignIn } from "./app/sign-in.js";
import { startTools } from "./app/tools.js";
import { startWall } from "./app/wall.js";

// Each is loaded when it is first shown; the document names the modules of the one that its address is of.
const VIEWS = {
  overview: async () => (await import("./views/overview/view.js")).overview,
  metric: async () => (await import("./views/metric/view.js")).metric,
  alerts: async () => (await import("./views/alerts/view.js")).alerts,
  rules: async () => (await import("./views/rules/view.js")).rules,
  top: async () => (await import("./views/top/view.js")).top,
  status: async () => (await import("./views/status/view.js")).status,
};

applyPreferences();
startTools();
startHelp();
startSignIn();
startDownloads();
await startCaller();
startLive();
startNavigation(VIEWS);
startWall();
startHealth();
startBanner();
startSignals();
// The others are there, too, before they are wanted, and when the API has gone.
addEventListener("load", () => setTimeout(() => Object.values(VIEWS).forEach((load) => load().catch(() => {})), 2000));
