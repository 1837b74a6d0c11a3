// What pages do besides what plain HTML does. Nothing here is needed to decide.
"use strict";
