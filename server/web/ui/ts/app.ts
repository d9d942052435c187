// The console works without these scripts. They make it live, quicker under the keyboard, and
// copyable. Nothing is kept in the browser but the switch of the keys.
import { copies } from "./copy";
import { keys } from "./keys";
import { live } from "./live";
import { progress } from "./progress";
import { times } from "./times";

times(document);
copies();
keys();
live();
progress();
