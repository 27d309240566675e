// Some of the components answer to clicks on elements that no keyboard reaches. These become buttons with a name.
(() => {
  "use strict";
  const CLICKED = "[x-on\\:click]:not(a[href]):not(button):not(input):not(#changelist-filter-close)";
  const NAMES = {
    arrow_back: "Back", close: "Close", delete: "Remove", dock_to_right: "Menu", groups: "Dashboard",
    more_horiz: "More tabs", search: "Search", unfold_more: "Your account",
  };

  const reach = (element) => {
    if (element.hasAttribute("tabindex")) return;
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "button");
    const icon = [element, ...element.children].find((one) => one.classList.contains("material-symbols-outlined"));
    const name = icon && NAMES[icon.textContent.trim()];
    if (name) element.setAttribute("aria-label", name);
  };
  // An icon is a word of its font, not to be read out; where it is all that a link or button has, that gets a name.
  const hush = (icon) => {
    const owner = icon.closest("a, button");
    if (owner && owner.textContent.trim() === icon.textContent.trim() && !owner.ariaLabel) {
      owner.setAttribute("aria-label", owner.title || NAMES[icon.textContent.trim()] || icon.textContent.trim());
    }
    icon.setAttribute("aria-hidden", "true");
  };
  const reachAll = (root) => {
    root.querySelectorAll?.(CLICKED).forEach(reach);
    root.querySelectorAll?.(".material-symbols-outlined:not([role])").forEach(hush);
  };

  document.addEventListener("DOMContentLoaded", () => {
    reachAll(document);
    new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(reachAll)))
      .observe(document.body, {childList: true, subtree: true});
  });
  document.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && event.target.matches?.("[role=button][tabindex]")) {
      event.preventDefault();
      event.target.click();
    }
  });
})();
