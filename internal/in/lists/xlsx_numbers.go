package lists

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

// numberScan goes through a sheet beside excelize, which hands out texts only, and finds the cells that are numbers.
type numberScan struct {
	xml  *xml.Decoder
	next int // number of the row that the decoder stands in
	done bool
}

func newNumberScan(book *excelize.File, sheet string) *numberScan {
	data := partOf(book, sheet)
	return &numberScan{xml: xml.NewDecoder(bytes.NewReader(data))}
}

// partOf is the file of a sheet within the workbook.
func partOf(book *excelize.File, sheet string) []byte {
	id := ""
	for _, s := range book.WorkBook.Sheets.Sheet {
		if s.Name == sheet {
			id = s.ID
		}
	}
	var found []byte
	book.Pkg.Range(func(name, content any) bool {
		file, _ := name.(string)
		data, _ := content.([]byte)
		if path.Ext(file) != ".rels" || !strings.HasPrefix(path.Base(file), "workbook") {
			return true
		}
		var rels struct {
			Relationship []struct {
				ID     string `xml:"Id,attr"`
				Target string `xml:"Target,attr"`
			}
		}
		if xml.Unmarshal(data, &rels) != nil {
			return true
		}
		for _, r := range rels.Relationship {
			if r.ID != id {
				continue
			}
			target := strings.TrimPrefix(r.Target, "/")
			if !strings.HasPrefix(r.Target, "/") {
				target = path.Join(path.Dir(path.Dir(file)), r.Target)
			}
			if data, ok := book.Pkg.Load(target); ok {
				found, _ = data.([]byte)
			}
		}
		return found == nil
	})
	return found
}

// row returns, by column, the numbers of the row as the file has them; "" where there is none.
func (s *numberScan) row(n, width int) ([]string, error) {
	raw := make([]string, width)
	for s.next < n && !s.done {
		if err := s.toRow(); err != nil {
			return nil, err
		}
	}
	if s.next != n || s.done {
		return raw, nil
	}
	column, isNumber, inValue := 0, false, false
	for {
		token, err := s.xml.RawToken()
		if err == io.EOF {
			s.done = true
			return raw, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the sheet: %w", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			switch e.Name.Local {
			case "c":
				column++
				isNumber = true
				for _, a := range e.Attr {
					switch a.Name.Local {
					case "r":
						if at, _, err := excelize.CellNameToCoordinates(a.Value); err == nil {
							column = at
						}
					case "t":
						isNumber = a.Value == "n" || a.Value == ""
					}
				}
			case "v":
				inValue = true
			}
		case xml.CharData:
			if isNumber && inValue && column >= 1 && column <= width {
				raw[column-1] += string(e)
			}
		case xml.EndElement:
			inValue = false
			if e.Name.Local == "row" {
				return raw, nil
			}
		}
	}
}

// toRow goes into the next row.
func (s *numberScan) toRow() error {
	for {
		token, err := s.xml.RawToken()
		if err == io.EOF {
			s.done = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the sheet: %w", err)
		}
		if e, is := token.(xml.StartElement); is && e.Name.Local == "row" {
			s.next++
			for _, a := range e.Attr {
				if n, err := strconv.Atoi(a.Value); err == nil && a.Name.Local == "r" {
					s.next = n
				}
			}
			return nil
		}
	}
}
