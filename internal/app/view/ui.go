package view

import "time"

// UI writes the URL of the console, which logs its reader in once.
func (p *Page) UI(url string, life time.Duration) error {
	p.line("%s", p.clean(url))
	if !p.Quiet {
		p.line("%s", p.Style.Dim("It works once, within "+life.String()+"."))
	}
	return nil
}
