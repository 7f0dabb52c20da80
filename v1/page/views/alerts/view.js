import { make } from "../../app/elements.js";

export const alerts = {
  title: (place) => place.metric ?? "Alerts",
  open(root, place) {
    root.append(make("h2", {}, this.title(place)));
    return { update() {}, close() {} };
  },
};
