// A shop's story by Stripe's SDK for Node, unmodified but for its host and port; prints what it saw as JSON.
"use strict";
const assert = require("node:assert/strict");
const Stripe = require("stripe");

const { API, KEY, PAYLOAD, SIGNATURE, SECRET } = process.env;
const at = new URL(API);
const stripe = new Stripe(KEY, { host: at.hostname, port: at.port, protocol: "http", maxNetworkRetries: 0 });

async function all(list) {
  const found = [];
  for await (const one of list) found.push(one.id);
  return found;
}

async function main() {
  const asked = { amount: 1000, currency: "eur", capture_method: "manual", metadata: { by: "node" }, payment_method: "pm_card_visa" };
  const once = { idempotencyKey: `node-${process.pid}-${Date.now()}` };
  const made = await stripe.paymentIntents.create(asked, once);
  const again = await stripe.paymentIntents.create(asked, once);
  assert.equal(again.id, made.id);
  const held = await stripe.paymentIntents.confirm(made.id);
  const taken = await stripe.paymentIntents.capture(made.id, { amount_to_capture: 800, expand: ["latest_charge.balance_transaction"] });
  const refunds = [];
  for (const amount of [200, 100]) refunds.push(await stripe.refunds.create({ payment_intent: made.id, amount }));
  let declined;
  try {
    await stripe.paymentIntents.create({ amount: 1000, currency: "eur", confirm: true, payment_method: "pm_card_chargeDeclinedInsufficientFunds" });
  } catch (error) {
    declined = error;
  }
  const customer = await stripe.customers.create({ name: "Node" });
  const cleared = await stripe.customers.update(customer.id, { name: "", metadata: { a: "b" } });
  const gone = await stripe.customers.del(customer.id);
  const forwards = await all(stripe.paymentIntents.list({ limit: 2 }));
  const backwards = await all(stripe.paymentIntents.list({ limit: 2, ending_before: forwards.at(-1) }));
  assert.deepEqual(backwards, forwards.slice(0, -1).reverse());
  const search = await stripe.paymentIntents.search({ query: "metadata['by']:'node'", expand: ["data.latest_charge"] });
  const event = stripe.webhooks.constructEvent(PAYLOAD, SIGNATURE, SECRET);
  console.log(
    JSON.stringify({
      version: made.lastResponse.apiVersion,
      held: held.status,
      taken: [taken.status, taken.amount_received, taken.latest_charge.balance_transaction.amount],
      refunds: refunds.map((one) => one.status),
      declined: [declined.type, declined.statusCode, declined.code, declined.decline_code],
      customer: [cleared.name, cleared.metadata.a, gone.deleted],
      listed: forwards.includes(made.id),
      found: search.data.some((one) => one.id === made.id && one.latest_charge.amount_refunded === 300),
      event: event.id,
    }),
  );
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
