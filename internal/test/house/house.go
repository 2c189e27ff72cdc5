// Package house keeps the rooms in order: its tests fail when an import points the wrong way or a room does not say
// what it is for.
package house
