import { make } from "../../app/elements.js";

export const overview = {
  title: (place) => place.metric ?? "What moves now",
  open(root, place) {
    root.append(make("h2", {}, this.title(place)));
    return { update() {}, close() {} };
  },
};
