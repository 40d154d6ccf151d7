// A shop's story by Stripe's SDK for Go, unmodified but for its base address; prints what it saw as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"
)

func must[T any](found T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return found
}

func main() {
	ctx := context.Background()
	config := &stripe.BackendConfig{URL: stripe.String(os.Getenv("API")), MaxNetworkRetries: stripe.Int64(0)}
	client := stripe.NewClient(os.Getenv("KEY"), stripe.WithBackends(stripe.NewBackendsWithConfig(config)))

	asked := &stripe.PaymentIntentCreateParams{
		Amount:        stripe.Int64(1000),
		Currency:      stripe.String("eur"),
		CaptureMethod: stripe.String("manual"),
		PaymentMethod: stripe.String("pm_card_visa"),
		Metadata:      map[string]string{"by": "go"},
	}
	asked.SetIdempotencyKey(fmt.Sprintf("go-%d-%d", os.Getpid(), time.Now().UnixNano()))
	made := must(client.V1PaymentIntents.Create(ctx, asked))
	again := must(client.V1PaymentIntents.Create(ctx, asked))
	if again.ID != made.ID {
		log.Fatal("the same key made another payment")
	}
	held := must(client.V1PaymentIntents.Confirm(ctx, made.ID, nil))
	capture := &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(800)}
	capture.AddExpand("latest_charge.balance_transaction")
	taken := must(client.V1PaymentIntents.Capture(ctx, made.ID, capture))
	var refunds []string
	for _, amount := range []int64{200, 100} {
		one := must(client.V1Refunds.Create(ctx, &stripe.RefundCreateParams{PaymentIntent: &made.ID, Amount: &amount}))
		refunds = append(refunds, string(one.Status))
	}
	_, err := client.V1PaymentIntents.Create(ctx, &stripe.PaymentIntentCreateParams{
		Amount:        stripe.Int64(1000),
		Currency:      stripe.String("eur"),
		Confirm:       stripe.Bool(true),
		PaymentMethod: stripe.String("pm_card_chargeDeclinedInsufficientFunds"),
	})
	var declined *stripe.Error
	if !errors.As(err, &declined) {
		log.Fatal("a decline is no error: ", err)
	}
	customer := must(client.V1Customers.Create(ctx, &stripe.CustomerCreateParams{Name: stripe.String("Go")}))
	cleared := must(client.V1Customers.Update(ctx, customer.ID, &stripe.CustomerUpdateParams{
		Name: stripe.String(""), Metadata: map[string]string{"a": "b"},
	}))
	gone := must(client.V1Customers.Delete(ctx, customer.ID, nil))

	every := func(before string) (found []string) {
		list := &stripe.PaymentIntentListParams{}
		list.Limit = stripe.Int64(2)
		if before != "" {
			list.EndingBefore = &before
		}
		for one, err := range client.V1PaymentIntents.List(ctx, list).All(ctx) {
			found = append(found, must(one, err).ID)
		}
		return found
	}
	forwards := every("")
	backwards := every(forwards[len(forwards)-1])
	slices.Reverse(backwards)
	if !slices.Equal(backwards, forwards[:len(forwards)-1]) {
		log.Fatal("backwards is another order: ", backwards, forwards)
	}
	search := &stripe.PaymentIntentSearchParams{}
	search.Query = "metadata['by']:'go'"
	search.AddExpand("data.latest_charge")
	found := false
	for one, err := range client.V1PaymentIntents.Search(ctx, search).All(ctx) {
		found = found || must(one, err).ID == made.ID && one.LatestCharge.AmountRefunded == 300
	}
	event := must(webhook.ConstructEventWithOptions(
		[]byte(os.Getenv("PAYLOAD")), os.Getenv("SIGNATURE"), os.Getenv("SECRET"),
		webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true},
	))
	said := map[string]any{
		"version":  made.LastResponse.Header.Get("Stripe-Version"),
		"held":     held.Status,
		"taken":    []any{taken.Status, taken.AmountReceived, taken.LatestCharge.BalanceTransaction.Amount},
		"refunds":  refunds,
		"declined": []any{declined.Type, declined.HTTPStatusCode, declined.Code, declined.DeclineCode},
		"customer": []any{cleared.Name, cleared.Metadata["a"], gone.Deleted},
		"listed":   slices.Contains(forwards, made.ID),
		"found":    found,
		"event":    event.ID,
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		log.Fatal(err)
	}
}
