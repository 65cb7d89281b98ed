"use strict";
{
  const { rate, frames } = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const [before, after] = document.querySelectorAll(".clips video");
  let playing = false;
  const frame = () => Math.min(frames - 1, Math.max(0, Math.floor(before.currentTime * rate + 1e-3)));

  function show() {
    by("at").value = frame();
    by("frame").textContent = `${frame() + 1}/${frames}`;
    by("play").textContent = playing ? "Stop" : "Play";
  }

  // Both stand in the middle of the same frame.
  function go(to) {
    const time = (Math.min(frames - 1, Math.max(0, to)) + 0.5) / rate;
    before.currentTime = after.currentTime = time;
    show();
  }

  function stop(at) {
    playing = false;
    before.pause();
    after.pause();
    go(at);
  }

  function play() {
    playing = true;
    if (before.ended || frame() >= frames - 1) go(0);
    before.play();
    after.play();
  }

  // One leads; the other is put right when it is a frame off. At the end both begin again.
  function follow() {
    if (playing && before.ended) {
      play();
    } else if (playing && !after.seeking && Math.abs(after.currentTime - before.currentTime) > 1 / rate) {
      after.currentTime = before.currentTime;
      if (after.paused) after.play();
    }
    if (playing) show();
    requestAnimationFrame(follow);
  }

  const toggle = () => (playing ? stop(frame()) : play());
  const step = (frames_) => stop(frame() + frames_);
  by("play").addEventListener("click", toggle);
  by("back").addEventListener("click", () => step(-1));
  by("next").addEventListener("click", () => step(1));
  by("at").addEventListener("input", (event) => stop(Number(event.target.value)));
  by("speed").addEventListener("change", (event) => { before.playbackRate = after.playbackRate = Number(event.target.value); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(BUTTON|SELECT)$/.test(event.target.tagName)) return;
    const act = { " ": toggle, ",": () => step(-1), ".": () => step(1) }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  for (const name of ["loadeddata", "seeked", "pause", "play"]) before.addEventListener(name, show);
  show();
  requestAnimationFrame(follow);
}
