"use strict";
(() => {
  const time = document.getElementById("time"), axis = document.getElementById("axis"), end = Number(time.dataset.end);
  const plots = [...time.querySelectorAll("svg.t")], placed = [...time.querySelectorAll("[data-at]")];
  let from = 0, to = end;
  const word = (ms) => {
    const span = to - from;
    if (ms === 0) return "0";
    if (span < 1) return ms.toFixed(3) + " ms";
    if (span < 100) return ms.toFixed(2) + " ms";
    if (span < 20000) return ms.toFixed(0) + " ms";
    return (ms / 1000).toFixed(span < 100000 ? 2 : 1) + " s";
  };
  const draw = () => {
    const span = to - from;
    for (const svg of plots) svg.setAttribute("viewBox", `${from} 0 ${span} 100`);
    for (const x of placed) {
      const at = Number(x.dataset.at), length = Number(x.dataset.length || 0);
      x.style.left = ((at - from) / span) * 100 + "%";
      if (length) x.style.width = Math.max((length / span) * 100, 0.15) + "%";
    }
    [...axis.children].forEach((x, i) => (x.textContent = word(from + (span * i) / 10)));
  };
  let picked = null;
  const part = (e) => {
    const box = axis.getBoundingClientRect();
    return Math.min(1, Math.max(0, (e.clientX - box.left) / box.width));
  };
  time.addEventListener("pointerdown", (e) => {
    const lane = e.target.closest(".lane, .axis");
    if (!lane || e.button !== 0) return;
    picked = { begin: part(e), mark: document.createElement("div"), lane };
    picked.mark.className = "pick";
    lane.append(picked.mark);
  });
  addEventListener("pointermove", (e) => {
    if (!picked) return;
    const now = part(e);
    picked.mark.style.left = Math.min(now, picked.begin) * 100 + "%";
    picked.mark.style.width = Math.abs(now - picked.begin) * 100 + "%";
  });
  addEventListener("pointerup", (e) => {
    if (!picked) return;
    const a = Math.min(part(e), picked.begin), b = Math.max(part(e), picked.begin), span = to - from;
    picked.mark.remove();
    picked = null;
    if (b - a < 0.005 || (b - a) * span < 0.001) return;
    [from, to] = [from + a * span, from + b * span];
    draw();
  });
  time.addEventListener("dblclick", () => {
    [from, to] = [0, end];
    draw();
  });
})();
