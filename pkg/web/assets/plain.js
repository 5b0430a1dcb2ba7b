// A page that has nothing of its own to follow.
import { open } from "./page.js";

open();
