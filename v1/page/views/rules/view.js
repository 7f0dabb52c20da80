import { make } from "../../app/elements.js";

export const rules = {
  title: (place) => place.metric ?? "Rules",
  open(root, place) {
    root.append(make("h2", {}, this.title(place)));
    return { update() {}, close() {} };
  },
};
