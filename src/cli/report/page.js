// Search, filter, sort and enlarge. The page is complete without it.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const list = byId("cards");
  const cards = [...list.children];
  const [search, state, order] = [byId("search"), byId("state"), byId("order")];
  const name = (card) => card.querySelector("h3 bdi").textContent;
  const texts = new Map();
  const textOf = (card) => {
    if (!texts.has(card)) texts.set(card, card.textContent.toLowerCase());
    return texts.get(card);
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const fits = state.value === "" || card.dataset.state === state.value
        || (state.value === "doubtful" && "doubtful" in card.dataset);
      card.hidden = !(fits && words.every((word) => textOf(card).includes(word)));
      shown += card.hidden ? 0 : 1;
    }
    byId("shown").textContent = shown === cards.length ? `${shown}` : `${shown} of ${cards.length}`;
    byId("none").hidden = shown > 0 || cards.length === 0;
  };

  const verdicts = ["failed", "sensitive", "uncertain", "clear", "analyzed"];
  const collator = new Intl.Collator(undefined, { numeric: true });
  const number = (card, key) => Number(card.dataset[key]);
  // What to sort by, and how two of them compare.
  const orders = {
    position: [(card) => number(card, "position"), (a, b) => a - b],
    name: [name, collator.compare],
    verdict: [(card) => verdicts.indexOf(card.dataset.state), (a, b) => a - b],
    milliseconds: [(card) => number(card, "milliseconds"), (a, b) => b - a],
    tokens: [(card) => number(card, "tokens"), (a, b) => b - a],
  };
  const sort = () => {
    const [key, compare] = orders[order.value];
    const keys = new Map(cards.map((card) => [card, [key(card), number(card, "position")]]));
    // Equal ones keep the order of the run.
    cards.sort((a, b) => {
      const [[one, first], [other, second]] = [keys.get(a), keys.get(b)];
      return compare(one, other) || first - second;
    });
    list.append(...cards);
  };

  search.addEventListener("input", filter);
  state.addEventListener("change", filter);
  order.addEventListener("change", sort);
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  byId("tools").hidden = false;
  // A browser that goes back keeps what was typed.
  filter();
  if (order.value !== "position") sort();

  const dialog = byId("large");
  const stage = byId("stage");
  let current = null;
  const show = (card) => {
    current = card;
    const frame = card.querySelector(".frame").cloneNode(true);
    const image = frame.querySelector("img");
    stage.style.setProperty("--shape", `${image.getAttribute("height") / image.getAttribute("width")}`);
    stage.replaceChildren(frame);
    byId("caption").textContent = name(card);
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => {
    const visible = cards.filter((card) => !card.hidden && card.querySelector(".frame"));
    show(visible[(visible.indexOf(current) + by + visible.length) % visible.length]);
  };
  byId("close").addEventListener("click", () => dialog.close());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => stage.replaceChildren());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  for (const card of cards) {
    const frame = card.querySelector(".frame");
    if (!frame) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "zoom";
    button.textContent = "⤢";
    button.setAttribute("aria-label", `Enlarge ${name(card)}`);
    frame.append(button);
    frame.classList.add("can-zoom");
    frame.addEventListener("click", () => show(card));
  }
})();
