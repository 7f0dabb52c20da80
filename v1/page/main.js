// Starts the page: what is told on every view, and the view that the address names.

import { startBanner } from "./app/banner.js";
import { startLive } from "./app/live.js";
import { startNavigation } from "./app/navigation.js";
import { applyPreferences } from "./app/preferences.js";
import { startTools } from "./app/tools.js";
import { alerts } from "./views/alerts/view.js";
import { metric } from "./views/metric/view.js";
import { overview } from "./views/overview/view.js";
import { rules } from "./views/rules/view.js";
import { status } from "./views/status/view.js";
import { top } from "./views/top/view.js";

applyPreferences();
startLive();
startBanner();
startTools();
startNavigation({ overview, metric, alerts, rules, top, status });
