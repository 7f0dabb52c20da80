import { make } from "../../app/elements.js";

export const metric = {
  title: (place) => place.metric ?? "",
  open(root, place) {
    root.append(make("h2", {}, this.title(place)));
    return { update() {}, close() {} };
  },
};
