// What can be measured of a page's accessibility. Both functions run inside of the page, so they use nothing of this
// file but themselves.

// Contrast is WCAG 2.2's (1.4.3): the ratio of relative luminances of a text and what lies behind it.
export function audit() {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => {
    const part = (value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    };
    return 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const contrast = (element) => {
    const [one, other] = [channels(getComputedStyle(element).color), behind(element)].map(luminance);
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  };
  const texts = [...document.body.querySelectorAll('*')].filter((element) =>
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()),
  );
  const controls = [...document.querySelectorAll('a[href],button,input,select,textarea')];
  return {
    lang: document.documentElement.lang,
    title: document.title,
    headings: [...document.querySelectorAll('h1')].map((heading) => heading.textContent),
    contrasts: texts.map((element) => ({ text: element.textContent.slice(0, 40), ratio: contrast(element) })),
    scrolls_by: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    controls: controls.map((control) => ({
      text: control.textContent || control.labels?.[0]?.textContent || control.getAttribute('aria-label') || '',
      height: control.getBoundingClientRect().height,
      is_button: getComputedStyle(control).display !== 'inline',
    })),
    has_main: document.querySelectorAll('main').length === 1,
    scripts: document.scripts.length,
  };
}

// The control that has the focus, and the width of its outline in pixels; null where none has it.
export function focused() {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at);
  return { text: at.textContent, outline: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth) };
}
