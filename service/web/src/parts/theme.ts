/** Light or dark: as the system wishes, unless somebody has chosen here. */
import { useEffect, useState } from "react";
import { storage } from "./storage";

type Theme = "light" | "dark";
const PLACE = "scenerank.theme";
const kept = storage("localStorage");
const dark = matchMedia("(prefers-color-scheme: dark)");

const chosen = (): Theme | null => {
  const value = kept.getItem(PLACE);
  return value === "light" || value === "dark" ? value : null;
};

/** Before anything is drawn. */
export function applyTheme(): void {
  const theme = chosen();
  if (theme) document.documentElement.dataset["theme"] = theme;
}

export function useTheme(): [Theme, () => void] {
  const [system, setSystem] = useState<Theme>(dark.matches ? "dark" : "light");
  const [own, setOwn] = useState(chosen);
  useEffect(() => {
    const follow = () => setSystem(dark.matches ? "dark" : "light");
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, []);
  const theme = own ?? system;
  const change = () => {
    const next = theme === "dark" ? "light" : "dark";
    kept.setItem(PLACE, next);
    setOwn(next);
    applyTheme();
  };
  return [theme, change];
}
