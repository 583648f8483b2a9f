// The page of `pgweave studio`: the designer over a web socket.
import { mount, websocket } from "./designer.js";

mount(document.getElementById("designer"), websocket(new URL("ws", location.href)));
