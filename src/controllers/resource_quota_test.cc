// What a quota's status is to say, by a table.
#include "controllers/resource_quota.h"

#include <gtest/gtest.h>

#include "controllers/plan_testing.h"
#include "machinery/quota/resource_list.h"

namespace keles::controllers {
namespace {

using quota::ResourceList;

ResourceList list(const std::string& yaml) {
  auto d = parse_yaml("{" + yaml + "}");
  EXPECT_TRUE(d.ok()) << yaml;
  return quota::read_resource_list(d->root);
}

TEST(PlanQuota, ChargesAtOnceAndGivesBackWhatHasSettled) {
  struct Row {
    const char* what;
    const char *hard, *status;  // the status as it stands, or nothing
    const char *counts, *settled;
    const char *used, *given_back;
    bool write, waits;
  };
  constexpr const char* kUnknown = nullptr;
  const Row rows[] = {
      {"a new quota says what there is", "pods: '5'", nullptr, "pods: '2'", kUnknown, "pods: '2'",
       "", true, false},
      {"all is well", "pods: '5'", "hard: {pods: '5'}, used: {pods: '2'}", "pods: '2'", kUnknown,
       "pods: '2'", "", false, false},
      {"more than was charged: it came otherwise", "pods: '5'",
       "hard: {pods: '5'}, used: {pods: '2'}", "pods: '3'", kUnknown, "pods: '3'", "", true, false},
      {"less, and nothing is settled yet", "pods: '5'", "hard: {pods: '5'}, used: {pods: '4'}",
       "pods: '2'", kUnknown, "pods: '4'", "", false, true},
      {"less, and settled", "pods: '5'", "hard: {pods: '5'}, used: {pods: '4'}", "pods: '2'",
       "pods: '4'", "pods: '2'", "pods: '2'", true, false},
      {"charged anew since: only what settled comes back", "pods: '5'",
       "hard: {pods: '5'}, used: {pods: '5'}", "pods: '2'", "pods: '4'", "pods: '3'", "pods: '2'",
       true, true},
      {"settled below what there is", "pods: '5'", "hard: {pods: '5'}, used: {pods: '4'}",
       "pods: '3'", "pods: '2'", "pods: '4'", "", false, true},
      {"never below what there is", "pods: '5'", "hard: {pods: '5'}, used: {pods: '3'}",
       "pods: '2'", "pods: '9'", "pods: '2'", "pods: '7'", true, false},
      {"a name that others count stays", "pods: '5', requests.example.com/x: '3'",
       "hard: {pods: '5', requests.example.com/x: '3'}, used: {pods: '2', requests.example.com/x: "
       "'1'}",
       "pods: '2'", kUnknown, "pods: '2', requests.example.com/x: '1'", "", false, false},
      {"a name that is no longer limited goes", "pods: '5'",
       "hard: {pods: '5', services: '1'}, used: {pods: '2', services: '1'}",
       "pods: '2', services: '1'", kUnknown, "pods: '2'", "", true, false},
      {"a new limit", "pods: '7'", "hard: {pods: '5'}, used: {pods: '2'}", "pods: '2'", kUnknown,
       "pods: '2'", "", true, false},
      {"the same amount otherwise written", "requests.cpu: '1'",
       "hard: {requests.cpu: '1000m'}, used: {requests.cpu: '500m'}", "requests.cpu: '0.5'",
       kUnknown, "requests.cpu: '500m'", "", false, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    auto quota = parse<api::core_v1::ResourceQuota>(
        "{metadata: {name: q, namespace: d}, spec: {hard: {" + std::string(row.hard) + "}}" +
        (row.status ? ", status: {" + std::string(row.status) + "}" : "") + "}");
    ResourceList settled;
    if (row.settled) settled = list(row.settled);
    QuotaPlan plan = plan_quota(*quota, list(row.counts), row.settled ? &settled : nullptr);
    EXPECT_EQ(quota::text_of(plan.hard), quota::text_of(list(row.hard)));
    EXPECT_EQ(quota::text_of(plan.used), quota::text_of(list(row.used)));
    EXPECT_EQ(quota::text_of(plan.given_back), quota::text_of(list(row.given_back)));
    EXPECT_EQ(plan.write, row.write);
    EXPECT_EQ(plan.waits, row.waits);
  }
}

TEST(QuotaLedger, SettlesAfterAWhile) {
  QuotaLedger ledger;
  TimePoint t{};
  ledger.observe(list("pods: '4'"), t);
  EXPECT_EQ(ledger.settled(), nullptr);
  EXPECT_EQ(ledger.ripe_at(t), t + kChargeSettles);
  ledger.observe(list("pods: '5'"), t + kChargeSettles / 2);
  EXPECT_EQ(ledger.settled(), nullptr) << "a later charge does not make the first one older";
  ledger.observe(list("pods: '5'"), t + kChargeSettles);
  ASSERT_NE(ledger.settled(), nullptr);
  EXPECT_EQ(quota::text_of(*ledger.settled()), "pods=4");
  ledger.given_back(list("pods: '1'"));
  EXPECT_EQ(quota::text_of(*ledger.settled()), "pods=3");
  ledger.observe(list("pods: '4'"), t + 2 * kChargeSettles);
  EXPECT_EQ(quota::text_of(*ledger.settled()), "pods=4")
      << "what came in between, less what was given back";
  ledger.forget();
  EXPECT_EQ(ledger.settled(), nullptr);
}

}  // namespace
}  // namespace keles::controllers
