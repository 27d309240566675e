// Some of the components answer to clicks on elements that no keyboard reaches. These become buttons with a name.
(() => {
  "use strict";
  const CLICKED = "[x-on\\:click]:not(a[href]):not(button):not(input):not(#changelist-filter-close)";
  const NAMES = {dock_to_right: "Menu", close: "Close", delete: "Remove", more_horiz: "More tabs", unfold_more: "Your account"};

  const reach = (element) => {
    if (element.hasAttribute("tabindex")) return;
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "button");
    const icon = [element, ...element.children].find((one) => one.classList.contains("material-symbols-outlined"));
    const name = icon && NAMES[icon.textContent.trim()];
    if (name) element.setAttribute("aria-label", name);
  };
  const reachAll = (root) => root.querySelectorAll?.(CLICKED).forEach(reach);

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
