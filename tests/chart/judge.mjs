// Judges resources that are not Kubernetes' own by their published schemas: reads a JSON list on standard input,
// prints a JSON list of {kind, name} that it judged, and fails with what is wrong. Unknown fields pass: the
// schemas' validator does not see them.
import { HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import { text } from 'node:stream/consumers';

const known = new Map([
  ['gateway.networking.k8s.io/v1 HTTPRoute', HTTPRoute],
  ['monitoring.coreos.com/v1 ServiceMonitor', ServiceMonitor],
]);

const judged = [];
for (const resource of JSON.parse(await text(process.stdin))) {
  const { apiVersion, kind, metadata } = resource;
  const Model = known.get(`${apiVersion} ${kind}`);
  if (!Model) throw new Error(`no schema for ${apiVersion} ${kind}`);
  new Model(resource).validate();
  judged.push({ kind, name: metadata.name });
}
console.log(JSON.stringify(judged));
