// Package cover turns requested pairs of user and role into the fewest calls that it can find: rectangles, some roles
// times some users, of requested pairs only.
//
// The task is to cover a bipartite graph by bicliques of bounded size, for which no fast exact way is known. Plan goes
// three steps, each of which only ever lowers the number of calls:
//
//   - greedy makes, again and again, the call that covers the most pairs not covered yet. Its calls are made of role
//     sets that many users share: those of the largest groups of users with the same roles, what any two of these
//     groups have in common (a department's roles, a title's), and single roles. Where roles follow departments and
//     titles, that is close to the optimum at any size. The three simple ways (a call per user, per set of
//     roles, per role) are counted too, and taken where they are better.
//   - search ruins and rebuilds: it takes a few related calls away, serves their users from the spare room of the
//     others, and makes at most as many new calls of what is left. Calls that cover nothing alone any more vanish.
//   - setCover chooses among calls that cannot be widened, by weights that grow for pairs that stay uncovered. It
//     matters where nearly everybody has nearly every role, where good covers overlap too much to be built up
//     call by call.
//
// A small matrix gets all three as a whole. In a large one, calls with as many users as allowed are left as greedy made
// them; only the others, of which there are few, are searched, in windows of similar roles.
//
// All effort is counted in steps of work, never in time, and chance comes from fixed seeds: the same matrix gives the same
// plan everywhere. Work grows with the number of pairs and is capped. bench/cover proves optima with an integer
// program and prints how far plans are from them.
package cover
