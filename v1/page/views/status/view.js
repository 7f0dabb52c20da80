import { make } from "../../app/elements.js";

export const status = {
  title: (place) => place.metric ?? "Status",
  open(root, place) {
    root.append(make("h2", {}, this.title(place)));
    return { update() {}, close() {} };
  },
};
