import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "@xyflow/react/dist/base.css";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/layout.css";
import "./styles/drawing.css";
import "./styles/results.css";
import "./styles/admin.css";
import { App } from "./App";
import { applyTheme } from "./parts/theme";

applyTheme();
const page = document.getElementById("page");
if (page)
  createRoot(page).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
