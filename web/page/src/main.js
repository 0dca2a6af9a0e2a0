import "uplot/dist/uPlot.min.css";
import "./style.css";
import { App } from "./app.js";

new App(document.getElementById("page")).start();
