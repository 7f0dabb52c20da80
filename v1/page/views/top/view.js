import { make } from "../../app/elements.js";

export const top = {
  title: (place) => place.metric ?? "Top list",
  open(root, place) {
    root.append(make("h2", {}, this.title(place)));
    return { update() {}, close() {} };
  },
};
