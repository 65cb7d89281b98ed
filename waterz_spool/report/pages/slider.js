"use strict";
for (const input of document.querySelectorAll(".compare input")) {
  const move = () => input.parentElement.style.setProperty("--at", `${input.value}%`);
  input.addEventListener("input", move);
  move();
}
