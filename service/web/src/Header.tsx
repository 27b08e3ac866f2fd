/** The page's head: what this is, and the way to the rest. */
import { Icon } from "./parts/Icon";
import { useTheme } from "./parts/theme";

export function Header({ onAdmin }: { readonly onAdmin: () => void }) {
  const [theme, changeTheme] = useTheme();
  const other = theme === "dark" ? "Light mode" : "Dark mode";
  return (
    <header className="header">
      <div className="brand">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path d="M10 10v12l12-6z" />
          <circle cx="10" cy="10" r="4.5" />
          <circle cx="10" cy="22" r="4.5" />
          <circle cx="22" cy="16" r="4.5" className="accent" />
        </svg>
        <h1>SceneRank</h1>
        <p>Find pictures by what is in them and how it is related.</p>
      </div>
      <nav aria-label="Service">
        <a href="/docs">API</a>
        <button type="button" className="quiet" onClick={onAdmin}>
          <Icon name="gear" /> Admin
        </button>
        <button type="button" className="icon-button" aria-label={other} title={other} onClick={changeTheme}>
          <Icon name={theme === "dark" ? "sun" : "moon"} />
        </button>
      </nav>
    </header>
  );
}
