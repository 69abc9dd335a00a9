/**
 * Grey windows. A window belongs to the case: automatic at first, then a preset, then set by hand; what
 * was set by hand is never replaced by anything but another order of the reader.
 */

/** Width and level in HU on keys 1 to 5, as radiologists know them. */
export const CT_PRESETS = [
  { name: "Soft tissue", width: 400, level: 40 },
  { name: "Lung", width: 1500, level: -600 },
  { name: "Liver", width: 150, level: 90 },
  { name: "Bone", width: 2500, level: 480 },
  { name: "Brain", width: 80, level: 40 },
];

/**
 * Without a unit there are no numbers to agree on: fractions of the automatic window, which spans the
 * image's own percentiles. `from` and `to` are in widths of it, from its lower end.
 */
export const RELATIVE_PRESETS = [
  { name: "Full", from: 0, to: 1 },
  { name: "Bright", from: 0, to: 0.6 },
  { name: "Dark", from: 0.2, to: 1.4 },
  { name: "Contrast", from: 0.25, to: 0.75 },
  { name: "Wide", from: -0.5, to: 1.5 },
];

/** The five presets of an image. */
export function presetsOf(image) {
  return image.modality === "CT" ? CT_PRESETS : RELATIVE_PRESETS;
}

/**
 * Give the limits of a preset.
 * @param {{width: number, level: number} | {from: number, to: number}} preset
 * @param {[number, number]} automatic lower and upper limit
 * @returns {[number, number]}
 */
export function limitsOf(preset, automatic) {
  if ("width" in preset) return [preset.level - preset.width / 2, preset.level + preset.width / 2];
  const span = automatic[1] - automatic[0];
  return [automatic[0] + preset.from * span, automatic[0] + preset.to * span];
}

/** The window of one image: automatic, preset or manual. */
export class GreyWindow {
  /** @param {any} image @param {[number, number]|null} automatic */
  constructor(image, automatic) {
    this.presets = presetsOf(image);
    this.automatic = automatic;
    this.limits = automatic;
    this.kind = "auto";
    this.name = "auto";
  }

  /** The image has been read: its percentiles are the automatic window if the file named none. */
  suggest(automatic) {
    this.automatic = this.automatic || automatic;
    if (this.kind === "auto") this.limits = this.automatic;
  }

  /** Take a preset by its number, from 1; 0 is automatic. */
  choose(number) {
    if (number === 0) return this.#set("auto", "auto", this.automatic);
    const preset = this.presets[number - 1];
    if (preset && this.automatic) this.#set("preset", preset.name, limitsOf(preset, this.automatic));
  }

  /** Set by hand: nothing but the reader changes it now. */
  set(lower, upper) {
    const least = 1e-6 * Math.max(1, Math.abs(lower));
    this.#set("manual", "manual", [lower, Math.max(upper, lower + least)]);
  }

  #set(kind, name, limits) {
    this.kind = kind;
    this.name = name;
    this.limits = limits;
  }
}
